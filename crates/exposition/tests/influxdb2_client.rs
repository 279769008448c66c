//! Points of ours and of the `influxdb2` client, an independent writer of the same protocol, byte for byte.
#![expect(clippy::unwrap_used, reason = "a test that cannot begin has failed")]

use influxdb2::models::{DataPoint, WriteDataPoint};
use plimsoll_exposition::line::{Field, Point, write};
use proptest::prelude::*;

fn ours(measurement: &str, tags: &[(String, String)], fields: &[(String, Field)], wall_nanos: i64) -> String {
    let tags = tags.iter().map(|(name, value)| (name.as_str(), value.into())).collect();
    let fields = fields.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let mut line = String::new();
    write(&mut line, &Point { measurement, tags, fields, wall_nanos });
    line
}

fn theirs(
    measurement: &str,
    tags: &[(String, String)],
    fields: &[(String, Field)],
    wall_nanos: i64,
) -> String {
    let mut point = DataPoint::builder(measurement).timestamp(wall_nanos);
    for (name, value) in tags {
        point = point.tag(name, value);
    }
    for (name, value) in fields {
        point = match value {
            Field::Integer(number) => point.field(name, *number),
            Field::Float(number) => point.field(name, *number),
        };
    }
    let mut bytes = Vec::new();
    point.build().unwrap().write_data_point_to(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap().trim_end_matches('\n').to_owned()
}

/// Pairs in the order of their names, which is the order the client writes them in.
fn sorted<T: Clone>(pairs: Vec<(String, T)>) -> Vec<(String, T)> {
    pairs.into_iter().collect::<std::collections::BTreeMap<_, _>>().into_iter().collect()
}

proptest! {
    #[test]
    fn the_named_client_writes_the_same_bytes(
        measurement in "[a-z, ]{1,12}[a-z]",
        tags in prop::collection::vec(("[a-z=, ]{1,8}[a-z]", "[a-zA-Z0-9=, .:/ü]{1,12}[a-z]"), 0..5),
        integers in prop::collection::vec(("[a-m_0-9. =,]{1,8}[a-m]", any::<i64>()), 1..5),
        floats in prop::collection::vec(("[n-z_0-9. =,]{1,8}[n-z]", -1e6..1e6_f64), 0..4),
        wall_nanos in 0..i64::MAX,
    ) {
        let integers = integers.into_iter().map(|(name, number)| (name, Field::Integer(number)));
        let floats = floats.into_iter().map(|(name, number)| (name, Field::Float(number)));
        let (tags, fields) = (sorted(tags), sorted(integers.chain(floats).collect()));
        prop_assert_eq!(
            ours(&measurement, &tags, &fields, wall_nanos),
            theirs(&measurement, &tags, &fields, wall_nanos)
        );
    }
}
