use super::*;
use plimsoll_run::{OtlpHistograms, OtlpTemporality};
use std::time::Duration;

fn settings(url: &str, protocol: OtlpProtocol) -> OtlpExport {
    OtlpExport {
        url: url.to_owned(),
        protocol,
        headers: vec![("authorization".to_owned(), Secret::new("Bearer hush-hush"))],
        temporality: OtlpTemporality::default(),
        histograms: OtlpHistograms::default(),
        traces: true,
        gzip: true,
    }
}

#[test]
fn each_signal_has_a_route_below_the_url() {
    for (signal, given, expected) in [
        (Signal::Metrics, "http://h:4318", "http://h:4318/v1/metrics"),
        (Signal::Metrics, "https://h/otlp/", "https://h/otlp/v1/metrics"),
        (Signal::Traces, "http://h", "http://h/v1/traces"),
    ] {
        let sink = Otlp::new(&settings(given, OtlpProtocol::Http), signal).unwrap();
        let Transport::Http { url, .. } = &sink.transport else { panic!("HTTP") };
        assert_eq!(url.as_str(), expected);
    }
    for protocol in [OtlpProtocol::Http, OtlpProtocol::Grpc] {
        for wrong in ["", "h:4318", "ftp://h", "http://", "/relative"] {
            assert!(Otlp::new(&settings(wrong, protocol), Signal::Metrics).is_err(), "{wrong}");
        }
    }
}

#[test]
fn only_what_the_specification_lists_is_sent_again() {
    let body = RpcStatus { message: "busy".to_owned(), details: Vec::new() }.encode_to_vec();
    let meaning = |status| {
        let headers = HeaderMap::from_iter([(reqwest::header::RETRY_AFTER, HeaderValue::from_static("7"))]);
        failure(&RawReply { status, headers, body: body.clone() })
    };
    for status in [429, 502, 503, 504] {
        let Answer::Later { after, reason, .. } = meaning(status) else { panic!("{status}") };
        assert_eq!(after, Some(Duration::from_secs(7)));
        assert!(reason.ends_with("the server says: busy"), "{reason}");
    }
    for status in [302, 400, 401, 403, 404, 408, 415, 500, 501, 505, 507] {
        assert!(matches!(meaning(status), Answer::Refused { .. }), "{status}");
    }
    assert_eq!(meaning(413), Answer::TooLarge);
}

#[test]
fn an_answer_in_other_words_is_kept_as_it_is() {
    assert_eq!(words(b"404 page not found"), "404 page not found");
    assert_eq!(words(b""), "");
}

#[test]
fn nothing_shows_a_header() {
    for protocol in [OtlpProtocol::Http, OtlpProtocol::Grpc] {
        let sink =
            Otlp::new(&settings("http://user:hush-hush@127.0.0.1:1", protocol), Signal::Metrics).unwrap();
        assert!(!format!("{sink:?} {}", sink.identity()).contains("hush"));
        assert_eq!(sink.redact("unknown token hush-hush"), "unknown token ***");
        let mut wrong = settings("http://h", protocol);
        wrong.headers = vec![("x".to_owned(), Secret::new("hush\nhush"))];
        let error = Otlp::new(&wrong, Signal::Metrics).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
    }
}
