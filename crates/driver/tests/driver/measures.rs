//! Values that a plan takes from real replies.

use std::collections::BTreeMap;

use super::CLIENT;
use crate::common::{Measured, config, get, open, plan};
use plimsoll_demo_target::{Config, DemoTarget};
use plimsoll_driver::{NetworkTransport, Transport};
use plimsoll_measure::{Outcome, ValueForm, ValueName, ValueSeries, ValueUnit};
use plimsoll_run::{
    Action, HttpVersion, MeasureRead, MeasureSource, OnFailure, PlannedMeasure, Request, RequestMeasure,
};

/// Name, form, unit, where it stands, how it is read.
type Measure = (&'static str, ValueForm, ValueUnit, MeasureSource, MeasureRead);

fn measures() -> Vec<Measure> {
    let number = |factor| MeasureRead::Number { factor };
    let path = MeasureSource::JsonPath("$.page".into());
    let kind = MeasureSource::Header("content-type".into());
    vec![
        ("size", ValueForm::Histogram, ValueUnit::Bytes, MeasureSource::BodySize, number(1.0)),
        ("page", ValueForm::Counter, ValueUnit::Number, path, MeasureRead::Whole),
        ("json", ValueForm::Ratio, ValueUnit::Number, kind, MeasureRead::Equals("application/json".into())),
        (
            "app",
            ValueForm::Histogram,
            ValueUnit::Seconds,
            MeasureSource::ServerTiming("app".into()),
            number(1e-3),
        ),
    ]
}

fn step(index: u16, path: &str) -> Action {
    let measures = measures().into_iter().zip(0..);
    let taken = measures.map(|((.., source, read), measure)| RequestMeasure { measure, source, read });
    let request = Request { measures: taken.collect(), on_failure: OnFailure::Continue, ..get(index, path) };
    Action::Request(Box::new(request))
}

#[tokio::test]
async fn values_and_absent_ones_add_up_to_the_replies() {
    for version in [HttpVersion::Http1, HttpVersion::Http2] {
        let listen = "127.0.0.1:0".parse().unwrap();
        let target = DemoTarget::spawn_thread(Config { listen, ..Config::default() }).unwrap();
        let paths = ["/products?page=7", "/latency/2", "/status/500", "/redirect?n=2"];
        let actions = (0..).zip(paths).map(|(index, path)| step(index, path)).collect();
        let mut plan = plan(&format!("http://{}", target.addr()), open(20.0, 1.0), actions);
        plan.http.version = version;
        let planned = |(name, form, unit, ..): Measure| PlannedMeasure {
            name: ValueName::new(name).unwrap(),
            form,
            unit,
        };
        plan.measures = measures().into_iter().map(planned).collect();
        let transport = Transport::Network(NetworkTransport::new(&plan).await.unwrap());
        let measured = Measured::run(&config(plan, transport, CLIENT)).await;

        let outcomes = measured.outcomes();
        assert_eq!(
            outcomes,
            [(Outcome::Ok, 60), (Outcome::Redirect, 40), (Outcome::Status, 20)],
            "{version:?}"
        );
        let mut values: BTreeMap<(u16, u16), ValueSeries> = BTreeMap::new();
        for (key, series) in measured.frames.iter().flat_map(|frame| &frame.values) {
            values.entry((key.value, key.step)).or_default().merge(series);
        }
        for measure in 0..4 {
            for step in 0..4 {
                assert_eq!(values[&(measure, step)].replies(), 20, "measure {measure} of step {step}");
            }
        }
        let of = |measure, step| {
            let series = &values[&(measure, step)];
            (series.taken, series.absent, series.total)
        };
        assert_eq!(of(1, 0), (20, 0, 140), "each reply adds its page");
        assert_eq!(of(1, 1), (0, 20, 0), "a body that is no JSON has none");
        assert_eq!([of(2, 0), of(2, 1), of(2, 2)], [(20, 0, 20), (20, 0, 0), (20, 0, 0)]);
        assert_eq!([of(3, 0), of(3, 1)], [(0, 20, 0), (20, 0, 0)]);
        let times = values[&(3, 1)].values.as_ref().unwrap();
        assert_eq!((times.min(), times.max()), (Some(2_000_000), Some(2_000_000)));
        let sizes = values[&(0, 1)].values.as_ref().unwrap();
        assert_eq!((sizes.min(), sizes.max()), (Some(14 * 512), Some(14 * 512)));
    }
}
