//! The reader of HTTP/1.1 responses under attack: cases as data, cut in every way, and read by hyper too.

mod allocations;
mod cases;
mod generate;
mod harness;
mod hyper;

use allocations::measured;
use cases::{Case, Expected, chunked, ok};
use generate::{answer, mutate};
use harness::{check_known, check_pieces, measure, want};
use plimsoll_driver::http1::{KnownHead, ResponseReader, Want};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[global_allocator]
static COUNTING: allocations::Counting = allocations::Counting;

fn found(case: &Case) -> Expected {
    let (answer, consumed) = measure([&case.stream[..]], want(case.head_request), None);
    assert!(consumed <= case.stream.len());
    match answer {
        Err(error) => Expected::Error(error),
        Ok(answer) => {
            let body = String::from_utf8(answer.body).expect("the cases have text");
            if answer.keeps_alive {
                Expected::Reusable(answer.status, body)
            } else {
                Expected::Last(answer.status, body)
            }
        }
    }
}

#[test]
fn each_case_is_what_it_is() {
    for case in cases::all() {
        let found = found(&case);
        assert!(found == case.expected, "{}: {found:?}, expected {:?}", case.name, case.expected);
    }
}

#[test]
fn pieces_do_not_change_a_case() {
    for case in cases::all() {
        let (stream, head) = (&case.stream[..], case.head_request);
        if stream.len() < 1000 {
            (0..stream.len()).for_each(|cut| check_pieces(stream, &[cut], head));
            check_pieces(stream, &(0..stream.len()).collect::<Vec<_>>(), head);
            check_known(stream, &(0..stream.len()).collect::<Vec<_>>(), head);
        }
        check_known(stream, &[], head);
        for length in [7, 1000, 4096, 65_535, 65_536] {
            check_pieces(stream, &(0..stream.len()).step_by(length).collect::<Vec<_>>(), head);
        }
    }
}

#[test]
fn hyper_reads_a_case_as_we_do() {
    for case in cases::all() {
        let found = std::panic::catch_unwind(|| hyper::compare(&case.stream, case.head_request));
        assert_eq!(found.ok(), Some(case.differs), "{}", case.name);
    }
}

/// Every answer cut off after each of its bytes.
#[test]
fn hyper_reads_an_early_end_as_we_do() {
    for case in cases::all() {
        for end in 0..case.stream.len().min(600) {
            hyper::compare(&case.stream[..end], case.head_request);
        }
    }
}

/// Each byte there is in each place where it may mean something.
#[test]
fn hyper_reads_each_byte_in_each_place_as_we_do() {
    let answers = [
        ok("server: x\r\ncontent-length: 2\r\n", "hi"),
        "HTTP/1.0 302\nlocation:/\r\nconnection: Keep-Alive\r\ncontent-length: 0\r\n\r\n".to_owned(),
        format!("HTTP/1.1 100 C\r\n\r\n{}", ok("connection: close\r\ncontent-length: 2, 2\r\n", "hi")),
        chunked("2 ;a\r\nhi\r\n0\r\na: b\r\n\r\n"),
    ];
    for answer in answers {
        for at in 0..=answer.len() {
            let (before, after) = answer.as_bytes().split_at(at);
            let without = after.get(1..).unwrap_or_default();
            hyper::compare(&[before, without].concat(), false);
            for byte in 0..=u8::MAX {
                hyper::compare(&[before, &[byte], without].concat(), false);
            }
            for byte in *b"\0\t\n\r \",-0159:;AFaf~\x7f\x80\xff" {
                hyper::compare(&[before, &[byte], after].concat(), false);
            }
        }
    }
}

#[test]
fn a_reader_that_waits_is_small_and_reads_answer_after_answer() {
    assert!(size_of::<ResponseReader>() <= 256, "{} bytes", size_of::<ResponseReader>());
    let mut reader = ResponseReader::new();
    assert_eq!(reader.read(b"unasked"), Ok(Some(0)));
    for _ in 0..3 {
        reader.begin(Want { keep_headers: false, ..want(false) });
        assert!(!reader.has_begun());
        let answer = b"HTTP/1.1 302 Found\r\nserver: x\r\nlocation: /a\r\ncontent-length: 2\r\n\r\nab";
        assert_eq!(reader.read(answer), Ok(Some(answer.len())));
        assert!(reader.keeps_alive() && reader.has_begun());
        assert_eq!((reader.status(), reader.take_body()), (302, b"ab".to_vec()));
        let headers = reader.take_headers();
        assert_eq!((headers.len(), headers["location"].as_bytes()), (1, &b"/a"[..]));
    }
}

#[test]
fn the_usual_answer_allocates_nothing() {
    let answers = [
        ok("server: x\r\ncontent-length: 5\r\nconnection: keep-alive\r\n", "hello"),
        chunked("5\r\nhello\r\n0\r\n\r\n"),
        "HTTP/1.1 304 Not Modified\r\netag: a\r\n\r\n".to_owned(),
        format!("HTTP/1.1 100 Continue\r\n\r\n{}", ok("content-length: 0\r\n", "")),
    ];
    let (mut reader, mut known) = (ResponseReader::new(), KnownHead::default());
    let mut read = |answer: &str, known: Option<&mut KnownHead>| {
        reader.begin(Want { keep_headers: false, keep_body: false, ..want(false) });
        let end = match known {
            Some(known) => reader.read_knowing(answer.as_bytes(), known),
            None => reader.read(answer.as_bytes()),
        };
        assert_eq!(end, Ok(Some(answer.len())));
        assert!(reader.take_headers().is_empty() && reader.take_body().is_empty());
    };
    let longest = answers.iter().max_by_key(|answer| answer.len()).expect("there are some");
    read(longest, Some(&mut known));
    let (_, usage) = measured(|| {
        for answer in &answers {
            read(answer, None);
            read(answer, Some(&mut known));
            read(answer, Some(&mut known));
        }
    });
    assert_eq!(usage.count, 0);
    let (_, usage) = measured(|| std::hint::black_box(vec![0_u8; 1000]));
    assert_eq!((usage.count, usage.peak), (1, 1000), "the count counts");
}

/// A target that promises much and sends little is not given the memory for what it promised.
#[test]
fn memory_follows_what_arrives() {
    let mut reader = ResponseReader::new();
    let (_, usage) = measured(|| {
        reader.begin(want(false));
        assert_eq!(reader.read(ok("content-length: 100000\r\n", "a").as_bytes()), Ok(None));
        reader.take_headers()
    });
    assert!(usage.peak < 2000, "{usage:?}");
    let ((), usage) = measured(|| {
        for _ in 1..100_000 {
            reader.read(b"a").expect("a body");
        }
    });
    assert!(usage.peak <= 100_000, "{usage:?}");
    assert_eq!(reader.take_body().len(), 100_000);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pieces_do_not_change_an_answer(
        stream in answer(),
        cuts in prop::collection::vec(any::<usize>(), 0..20),
        head in prop::bool::weighted(0.1),
    ) {
        check_pieces(&stream, &cuts, head);
        check_known(&stream, &cuts, head);
        (0..stream.len()).for_each(|cut| check_pieces(&stream, &[cut], head));
    }

    #[test]
    fn hyper_reads_an_answer_as_we_do(stream in answer(), head in prop::bool::weighted(0.1)) {
        hyper::compare(&stream, head);
    }
}

/// What coverage-guided fuzzing found worth keeping, and many mutations of it, always the same.
#[test]
fn mutations_of_the_corpus_are_read_as_hyper_reads_them() {
    const SEED: u64 = 0x1977;
    const MUTATIONS: usize = 25_000;
    let mut corpus: Vec<Vec<u8>> = cases::all().into_iter().map(|case| case.stream).collect();
    corpus.retain(|stream| stream.len() < 4096);
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/response");
    let files = std::fs::read_dir(&folder).expect("the corpus is part of the repository");
    let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    files.sort();
    corpus.extend(files.iter().map(|file| std::fs::read(file).expect("a file of the corpus")));
    for stream in &corpus {
        hyper::compare(stream, false);
        hyper::compare(stream, true);
    }
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let mut known = KnownHead::default();
    for _ in 0..MUTATIONS {
        let mut stream = corpus[random.random_range(0..corpus.len())].clone();
        for _ in 0..random.random_range(1..4) {
            mutate(&mut stream, &corpus, &mut random);
        }
        let head = random.random_range(0..10) == 0;
        let cuts: Vec<usize> = (0..random.random_range(0..6)).map(|_| random.random_range(0..9999)).collect();
        check_pieces(&stream, &cuts, head);
        check_known(&stream, &cuts, head);
        let want = Want { keep_headers: false, ..want(head) };
        assert_eq!(measure([&stream[..]], want, Some(&mut known)), measure([&stream[..]], want, None));
        hyper::compare(&stream, head);
    }
}
