//! Values that a plan takes from replies.

use plimsoll_run::{Action, MeasureRead, MeasureSource};

use crate::{LOAD, STEPS, parse_with, plan, with};

#[test]
fn measures_are_of_all_steps_or_of_one() {
    let steps = "
      - name: list
        get: /list
        measure:
          rows: { jsonpath: $.rows, as: counter }
          queue: { header: X-Queue, as: histogram }
      - { name: buy, post: /buy, measure: { size: { jsonpath: $.size, as: histogram, unit: bytes } } }
      - { name: leave, get: /leave }";
    let rest = "measure:
  size: { body: size, as: histogram }
  db: { header: server-timing, metric: db, as: histogram, unit: milliseconds }
  hit: { header: x-cache, equals: HIT, as: ratio }
  slow: { header: x-slow, as: histogram, unit: microseconds }
sla:
  - { name: all, objective: 'p95(db) <= 50ms' }
  - { name: one, objective: 'rate(rows) >= 100/s' }
  - { name: chosen, objective: 'mean(size) <= 1kB', where: { step: buy } }";
    let plan = plan(&with(LOAD, steps, rest));
    let named: Vec<_> = plan
        .measures
        .iter()
        .map(|measure| format!("{} {} {}", measure.name, measure.form.label(), measure.unit.label()))
        .collect();
    assert_eq!(
        named,
        [
            "size histogram bytes",
            "db histogram seconds",
            "hit ratio number",
            "slow histogram seconds",
            "rows counter number",
            "queue histogram number"
        ]
    );
    let requests: Vec<_> = plan.scenarios[0]
        .actions
        .iter()
        .filter_map(|action| match action {
            Action::Request(request) => Some(request),
            _ => None,
        })
        .collect();
    let taken: Vec<Vec<u16>> = requests
        .iter()
        .map(|request| request.measures.iter().map(|measure| measure.measure).collect())
        .collect();
    assert_eq!(taken, [vec![0, 1, 2, 3, 4, 5], vec![0, 1, 2, 3], vec![0, 1, 2, 3]]);
    let first = &requests[0].measures;
    assert_eq!(first[5].source, MeasureSource::Header("x-queue".to_owned()));
    assert_eq!(first[1].read, MeasureRead::Number { factor: 1e-3 });
    assert_eq!(first[3].read, MeasureRead::Number { factor: 1e-6 });
    assert_eq!(first[2].read, MeasureRead::Equals("HIT".to_owned()));
    assert_eq!(requests[1].measures[0].source, MeasureSource::JsonPath("$.size".to_owned()));
    let filters: Vec<_> = plan.objectives.iter().map(|objective| objective.filter.steps.clone()).collect();
    assert_eq!(filters, [None, Some([0].into()), Some([1].into())]);
    assert_eq!(plan.objectives[1].filter.scenarios, Some([0].into()));
}

#[test]
fn measures_change_the_hash_and_their_order_does_not() {
    let hash = |rest: &str| plan(&with(LOAD, STEPS, rest)).hash;
    let a = "size: { body: size, as: histogram }";
    let b = "rows: { header: x-rows, as: counter }";
    let both = hash(&format!("measure: {{ {a}, {b} }}"));
    assert_eq!(both, hash(&format!("measure: {{ {b}, {a} }}")));
    assert_ne!(both, hash(&format!("measure: {{ {a} }}")));
    assert_ne!(hash(""), hash(&format!("measure: {{ {a} }}")));
}

#[test]
fn at_most_so_many_are_measured() {
    let measures = |count: usize| {
        let all: Vec<_> = (0..count).map(|n| format!("m{n}: {{ header: x, as: counter }}")).collect();
        parse_with(&with(LOAD, STEPS, &format!("measure: {{ {} }}", all.join(", "))), &[], &[])
    };
    assert_eq!(measures(32).unwrap().plan.measures.len(), 32);
    let errors = measures(33).unwrap_err();
    assert_eq!(errors[0].message, "the plan measures more than 32 values");
}
