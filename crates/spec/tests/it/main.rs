//! Plans as their authors meet them: through `parse`, its messages and the schema.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod advice;
mod cases;
mod checks;
mod journeys;
mod measures;
mod notify;
mod openslo;
mod plans;
mod promises;
mod properties;
mod secrets;
mod sends;
mod slas;
mod teardown;
mod values;

use plimsoll_run::RunPlan;
use plimsoll_spec::{Diagnostic, Inputs, Parsed, Source, parse};

/// Files that plans of these tests name.
pub(crate) fn file(path: &str) -> Result<Vec<u8>, String> {
    let bytes: &[u8] = match path {
        "body.bin" => b"\x00\xff{{ body }}",
        "files/deep/a.csv" => b"a,b\n",
        "a.png" => b"\x89PNG",
        "files/huge.bin" => return Ok(vec![0; 16_000_001]),
        "users.csv" => b"name,wish\nann,oar\nbob,rope\n",
        "one.csv" => b"id\n7\n",
        "ragged.csv" => b"a,b\n1,2\n3\n",
        "latin.csv" => b"a\nx\n\xfc\n",
        "quotes.csv" => b"a;b\n1;5\" pipe\n",
        "users.json" => br#"[{"name":"ann","at":{"city":"Rome"}},{"name":"bob","at":{"city":"Oslo"}}]"#,
        "users.ndjson" => b"{\"name\":\"ann\"}\n{\"name\":\"bob\"}\n",
        "names.json" => br#"[{"name": "ann"}, {"name": "bob"}]"#,
        "keys.ndjson" => b"{\"a\":1}\n{\"b\":1}\n",
        "same.csv" => b"name,user\nx,y\n",
        "rates.csv" => b"time,rate\n0,50\n10,100/s\n1m,100\n1m30s,0\n",
        "excel.csv" => b"\xef\xbb\xbfphase;Time;Rate\r\nup;0;\"10\"\r\n\r\ndown;2.5;600/min\r\nend;5;0\r\n",
        "flat.csv" => b"time,rate\n0,0\n10,0\n",
        "short.csv" => b"time,rate\n0,10\n",
        "unordered.csv" => b"time,rate\n5,10\n10,10\n10,20\n9,x\n20\n30,99M/s\nlater,5\n",
        "columns.csv" => b"seconds,rate\n0,10\n",
        "access.log" => {
            b"::1 - - [01/Jan/2026:00:00:00 +0000] \"GET /a?x=1 HTTP/1.1\" 200 5\n\
              ::1 - - [01/Jan/2026:00:00:00 +0000] \"HEAD /b HTTP/1.1\" 200 5\n\
              ::1 - - [01/Jan/2026:00:00:03 +0000] \"GET /c HTTP/1.1\" 200 5\n"
        }
        "mixed.log" => {
            b"::1 - - [01/Jan/2026:00:00:09 +0000] \"GET /a HTTP/1.1\" 200 5\n\
              ::1 - - [01/Jan/2026:00:00:05 +0000] \"POST /b HTTP/1.1\" 200 5\n\
              ::1 - - [01/Jan/2026:00:00:05 +0000] \"GET /c HTTP/1.1\" 200 5\n\
              ::1 - - [01/Jan/2026:00:00:06 +0000] \"BREW /b HTTP/1.1\" 200 5\n\
              \xff\xfe\0\n\
              nothing\n"
        }
        "many.csv" => {
            let rows: String = (0..100_002)
                .map(|n| {
                    format!(
                        "{n},5
"
                    )
                })
                .collect();
            return Ok(format!(
                "time,rate
{rows}"
            )
            .into());
        }
        "junk.csv" => {
            return Ok(format!(
                "time,rate
{}",
                "x,y
"
                .repeat(500)
            )
            .into());
        }
        "ca.pem" => b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "key.pem" => b"-----BEGIN PRIVATE KEY-----\nthekeyitself\n-----END PRIVATE KEY-----\n",
        "schemas/error.json" => b"{\n\t\"required\": [\"error\"]\n}\n",
        "schemas/wrong.yaml" => b"type: object\nproperties:\n  id: { type: whole }\n",
        "garbage.pem" => b"nothing of the kind",
        _ => return Err("no such file".to_owned()),
    };
    Ok(bytes.to_vec())
}

/// Reads a plan with overrides, and the environment given as pairs.
pub(crate) fn parse_with(text: &str, env: &[(&str, &str)], set: &[&str]) -> Result<Parsed, Vec<Diagnostic>> {
    let env = |name: &str| env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let inputs =
        Inputs { set: set.iter().map(|set| (*set).to_owned()).collect(), ..Inputs::new(&env, &file) };
    parse(&Source { name: "plan.yaml".to_owned(), text: text.to_owned() }, &inputs)
}

pub(crate) fn parsed(text: &str) -> Parsed {
    parse_with(text, &[], &[]).unwrap_or_else(|errors| panic!("{text}\n{}", rendered(&errors)))
}

pub(crate) fn plan(text: &str) -> RunPlan {
    parsed(text).plan
}

pub(crate) fn rendered(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(|diagnostic| diagnostic.render(false) + "\n\n").collect()
}

/// A plan with these lines in place of its load, steps and what follows.
pub(crate) fn with(load: &str, steps: &str, rest: &str) -> String {
    format!(
        "name: test\ntarget: http://shop.example\nload: {load}\nscenarios:\n  - name: main\n    steps: {steps}\n{rest}\n"
    )
}

pub(crate) const LOAD: &str =
    "{ warmup: 5s, stages: [{ ramp: 100/s, over: 5s }, { hold: 100/s, for: 60s }] }";
pub(crate) const STEPS: &str = "[{ name: home, get: / }]";
