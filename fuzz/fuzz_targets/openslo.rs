//! No text makes reading OpenSLO documents panic or hang, there is always something to say of what is wrong, the parts of
//! what is right can be put in their place, and what can be judged has a judge.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll_sla::Keeper;
use plimsoll_sla::openslo::{Object, Referenced, inline};
use plimsoll_spec::Source;
use plimsoll_spec::openslo::read_slas;

fuzz_target!(|text: &str| {
    let (documents, slas) = read_slas(&[Source { name: "slo.yaml".to_owned(), text: text.to_owned() }]);
    for issue in &documents.issues {
        drop(issue.diagnostic.render(false));
    }
    assert!(documents.is_right() || !documents.issues.is_empty());
    let objects: Vec<Object> = documents.objects().cloned().collect();
    let inlined = inline(&objects, Referenced::Remove);
    assert!(!documents.is_right() || inlined.is_ok());
    for sla in &slas {
        assert!(Keeper::new(sla).is_ok(), "{sla:?}");
    }
});
