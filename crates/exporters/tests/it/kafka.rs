//! Messages, read back from an emulator of Kafka by the crate's consumer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use plimsoll_exporters::{Exporters, LiveMetrics};
use plimsoll_run::{ExportCount, ExportSettings, KafkaExport};
use plimsoll_testkit::Kafka;
use rskafka::client::partition::UnknownTopicHandling;
use rskafka::client::{Client, ClientBuilder};
use rskafka::record::Record;
use serde_json::Value;

use crate::run::{DEADLINE, Run, ended};

const PARTITIONS: i32 = 3;

fn settings(broker: String) -> ExportSettings {
    let kafka = KafkaExport { brokers: vec![broker], topic: "load".to_owned() };
    ExportSettings { kafka: Some(kafka), ..ExportSettings::default() }
}

async fn client(broker: String) -> Client {
    ClientBuilder::new(vec![broker]).build().await.unwrap()
}

async fn make_topic(broker: String) {
    let controller = client(broker).await.controller_client().unwrap();
    controller.create_topic("load", PARTITIONS, 1, 5_000).await.unwrap();
}

async fn offer(exporters: &mut Exporters, seconds: u64) -> Run {
    let mut run = Run::new();
    exporters.send(&run.start());
    for second in 0..seconds {
        let event = run.next_second(100 + 37 * second);
        exporters.send(&event);
        exporters.send(&run.judged());
    }
    run
}

async fn finish(exporters: &mut Exporters, deadline: Duration) -> ExportCount {
    let [count] = exporters.finish(&ended(9), deadline).await.try_into().unwrap();
    assert_eq!((count.backlog, count.produced), (0, count.acknowledged + count.lost));
    count
}

/// All messages, by partition.
async fn messages(broker: String) -> Vec<Vec<Record>> {
    let client = client(broker).await;
    let mut messages = Vec::new();
    for number in 0..PARTITIONS {
        let partition = client.partition_client("load", number, UnknownTopicHandling::Error).await.unwrap();
        let mut read: Vec<Record> = Vec::new();
        loop {
            let (records, end) =
                partition.fetch_records(read.len() as i64, 1..10_000_000, 1_000).await.unwrap();
            read.extend(records.into_iter().map(|record| record.record));
            if read.len() as i64 >= end {
                break;
            }
        }
        messages.push(read);
    }
    messages
}

#[tokio::test]
async fn every_point_is_a_message_and_a_series_is_in_order() {
    let server = Kafka::start().await.unwrap();
    make_topic(server.broker()).await;
    let live = Arc::new(LiveMetrics::new());
    let mut exporters = Exporters::start(&settings(server.broker()), live).await.unwrap();
    let run = offer(&mut exporters, 3).await;
    let count = finish(&mut exporters, DEADLINE).await;
    assert_eq!((count.lost, exporters.notes()), (0, Vec::new()));
    let messages = messages(server.broker()).await;
    assert_eq!(messages.iter().map(Vec::len).sum::<usize>() as u64, count.acknowledged);
    assert!(messages.iter().all(|messages| !messages.is_empty()), "all partitions are used");
    let mut requests = 0;
    let mut partitions: BTreeMap<Vec<u8>, BTreeSet<usize>> = BTreeMap::new();
    for (number, messages) in messages.into_iter().enumerate() {
        let mut last: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
        for Record { key, value, timestamp, .. } in messages {
            let (key, row) = (key.unwrap(), serde_json::from_slice::<Value>(&value.unwrap()).unwrap());
            assert_eq!(row["run"], run.id.as_str());
            if row["metric"] == "plimsoll_requests_total" {
                requests += row["count"].as_u64().unwrap();
            }
            let at = timestamp.timestamp_millis();
            assert!(last.insert(key.clone(), at).is_none_or(|before| before < at), "in order");
            partitions.entry(key).or_default().insert(number);
        }
    }
    assert_eq!(requests, run.requests());
    assert!(partitions.values().all(|partitions| partitions.len() == 1), "a series has one partition");
}

#[tokio::test]
async fn points_wait_for_their_topic_and_for_a_broker() {
    let mut server = Kafka::start().await.unwrap();
    let start =
        async || Exporters::start(&settings(server.broker()), Arc::new(LiveMetrics::new())).await.unwrap();
    let mut exporters = start().await;
    offer(&mut exporters, 1).await;
    let count = finish(&mut exporters, Duration::from_secs(2)).await;
    assert_eq!(count.lost, count.produced);
    let notes = exporters.notes().join("\n");
    assert!(notes.contains("kafka: there is no topic `load`, points wait"), "{notes}");

    let mut exporters = start().await;
    offer(&mut exporters, 1).await;
    make_topic(server.broker()).await;
    let count = finish(&mut exporters, DEADLINE).await;
    assert_eq!((count.lost, count.acknowledged), (0, count.produced), "{:?}", exporters.notes());

    let mut exporters = start().await;
    server.process.stop().unwrap();
    offer(&mut exporters, 1).await;
    let count = finish(&mut exporters, Duration::from_secs(2)).await;
    assert_eq!(count.lost, count.produced);
}
