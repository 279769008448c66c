//! Puts points into a topic of Kafka: a message per point, the line that `file` writes too.
//!
//! A message's key is its series, and its partition that which Kafka's own clients choose for the key: a series is in
//! order. Every replica that is in sync has a batch before it counts as taken. A message may be there twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::{BoxFuture, try_join_all};
use plimsoll_exposition::{Report, rows};
use plimsoll_run::{KafkaExport, RunEvent, Started};
use rskafka::BackoffConfig;
use rskafka::chrono::{DateTime, Utc};
use rskafka::client::ClientBuilder;
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::{Compression, PartitionClient, UnknownTopicHandling};
use rskafka::record::Record;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::http::{ANSWER_WITHIN, chain};
use crate::sink::{halves_of_lines, lines_as_pieces, lines_of};
use crate::{Answer, Encoder, Limits, Piece, Sink};

/// The name of the sink in counts and metrics.
pub const SINK: &str = "kafka";

/// Of one send: brokers take a batch of 1 MB unless told otherwise, and before compression this is well below.
const LIMITS: Limits = Limits { points: 2_000, bytes: 500_000, lanes: 1 };

/// A topic.
#[derive(Debug)]
pub struct Kafka {
    settings: KafkaExport,
    /// Its partitions by number, while the cluster answers.
    partitions: Mutex<Option<Arc<[PartitionClient]>>>,
}

impl Kafka {
    /// It does not ask whether a broker is there.
    pub fn new(settings: &KafkaExport) -> Self {
        Self { settings: settings.clone(), partitions: Mutex::default() }
    }

    async fn partitions(&self) -> Result<Arc<[PartitionClient]>, Answer> {
        let mut known = self.partitions.lock().await;
        if let Some(partitions) = &*known {
            return Ok(Arc::clone(partitions));
        }
        let found: Arc<[PartitionClient]> = self.connect().await?.into();
        *known = Some(Arc::clone(&found));
        Ok(found)
    }

    async fn connect(&self) -> Result<Vec<PartitionClient>, Answer> {
        let name = self.settings.topic.as_str();
        let tries = BackoffConfig { deadline: Some(ANSWER_WITHIN / 2), ..BackoffConfig::default() };
        let client =
            ClientBuilder::new(self.settings.brokers.clone()).client_id("plimsoll").backoff_config(tries);
        let client = client.build().await.map_err(|error| meaning(&error))?;
        let topics = client.list_topics().await.map_err(|error| meaning(&error))?;
        let Some(topic) = topics.into_iter().find(|topic| topic.name == name) else {
            let reason = format!("there is no topic `{name}`, points wait");
            return Err(Answer::Later { kind: "topic".to_owned(), reason, after: None });
        };
        let partitions = topic
            .partitions
            .into_iter()
            .map(|partition| client.partition_client(name, partition, UnknownTopicHandling::Error));
        try_join_all(partitions).await.map_err(|error| meaning(&error))
    }

    async fn produce(&self, lines: &[u8]) -> Result<(), Answer> {
        let partitions = self.partitions().await?;
        let mut records: Vec<Vec<Record>> = partitions.iter().map(|_| Vec::new()).collect();
        for line in lines.split(|byte| *byte == b'\n') {
            let record = record(line);
            let at = partition(record.key.as_deref().unwrap_or_default(), records.len());
            if let Some(records) = records.get_mut(at) {
                records.push(record);
            }
        }
        let sent = partitions
            .iter()
            .zip(records)
            .map(|(partition, records)| partition.produce(records, Compression::Gzip));
        try_join_all(sent).await.map(|_| ()).map_err(|error| meaning(&error))
    }
}

/// A line as a message, at the line's own time.
fn record(line: &[u8]) -> Record {
    let row: Value = serde_json::from_slice(line).unwrap_or_default();
    let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default();
    let labels = row.get("labels").map(Value::to_string).unwrap_or_default();
    let time = DateTime::parse_from_rfc3339(text("time")).map(|time| time.with_timezone(&Utc));
    Record {
        key: Some(format!("{}{labels}", text("metric")).into_bytes()),
        value: Some(line.to_vec()),
        headers: BTreeMap::new(),
        timestamp: time.unwrap_or_default(),
    }
}

/// Which of so many partitions Kafka's own clients choose for a key.
fn partition(key: &[u8], partitions: usize) -> usize {
    (murmur2(key) & 0x7fff_ffff) as usize % partitions.max(1)
}

/// MurmurHash2 with 32 bits, by Austin Appleby, with Kafka's seed.
fn murmur2(key: &[u8]) -> u32 {
    const FACTOR: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ key.len() as u32;
    let (words, rest) = key.as_chunks::<4>();
    for word in words {
        let mut word = u32::from_le_bytes(*word).wrapping_mul(FACTOR);
        word ^= word >> 24;
        hash = hash.wrapping_mul(FACTOR) ^ word.wrapping_mul(FACTOR);
    }
    if !rest.is_empty() {
        let last = rest.iter().rev().fold(0, |last, byte| last << 8 | u32::from(*byte));
        hash = (hash ^ last).wrapping_mul(FACTOR);
    }
    hash = (hash ^ hash >> 13).wrapping_mul(FACTOR);
    hash ^ hash >> 15
}

/// What an error means for a batch. What may pass, and what nobody knows the end of, is sent again.
fn meaning(error: &Error) -> Answer {
    let said = chain(error);
    let Error::ServerError { protocol_error, .. } = error else {
        return Answer::without(matches!(error, Error::Timeout), &said);
    };
    let kind = format!("{protocol_error:?}");
    match protocol_error {
        ProtocolError::MessageTooLarge | ProtocolError::RecordListTooLarge => Answer::TooLarge,
        ProtocolError::TopicAuthorizationFailed
        | ProtocolError::ClusterAuthorizationFailed
        | ProtocolError::InvalidTopicException
        | ProtocolError::InvalidRecord
        | ProtocolError::InvalidTimestamp
        | ProtocolError::PolicyViolation
        | ProtocolError::UnsupportedCompressionType
        | ProtocolError::UnsupportedForMessageFormat => {
            Answer::Refused { kind, reason: format!("the broker refused points; they are lost: {said}") }
        }
        _ => {
            let reason = format!("the broker cannot take points now; they wait: {said}");
            Answer::Later { kind, reason, after: None }
        }
    }
}

impl Sink for Kafka {
    fn name(&self) -> &'static str {
        SINK
    }

    fn identity(&self) -> String {
        format!("{} {}", self.settings.brokers.join(","), self.settings.topic)
    }

    fn limits(&self) -> Limits {
        LIMITS
    }

    fn encoder(&self, started: &Arc<Started>) -> Box<dyn Encoder> {
        Box::new(Rows { run: started.info.id.clone() })
    }

    fn send<'a>(&'a self, pieces: &'a [Piece]) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            let lines = lines_of(pieces);
            let sent = tokio::time::timeout(ANSWER_WITHIN, self.produce(&lines)).await;
            let answer = match sent {
                Ok(Ok(())) => return Answer::Taken,
                Ok(Err(answer)) => answer,
                Err(_) => Answer::without(true, &format!("{} s have passed", ANSWER_WITHIN.as_secs())),
            };
            // Leaders move and partitions are added: it is all asked again.
            *self.partitions.lock().await = None;
            answer
        })
    }

    fn halves(&self, piece: &Piece) -> Option<[Piece; 2]> {
        halves_of_lines(piece)
    }
}

/// A line per reading, and no state.
#[derive(Debug)]
struct Rows {
    run: String,
}

impl Encoder for Rows {
    fn encode(&mut self, _: &RunEvent, report: Option<&Report>) -> Vec<Piece> {
        let rows = report.map(|report| rows::json(report, &self.run)).unwrap_or_default();
        lines_as_pieces(&rows.iter().map(Value::to_string).collect::<Vec<_>>(), LIMITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys and hashes of Kafka's own test of its clients.
    #[test]
    fn keys_are_hashed_as_kafka_does() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
    }

    #[test]
    fn a_line_is_a_message_of_its_series_at_its_time() {
        let line = r#"{"time":"2023-11-14T22:13:21Z","run":"r","metric":"m","labels":{"step":"a","phase":"b"},"count":2}"#;
        let record = record(line.as_bytes());
        assert_eq!(record.key.unwrap(), br#"m{"step":"a","phase":"b"}"#);
        assert_eq!(record.value.unwrap(), line.as_bytes());
        assert_eq!(record.timestamp.timestamp(), 1_700_000_001);
    }
}
