//! No text makes reading a plan panic or hang, and there is always something to say of a plan that is wrong.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll_spec::{Inputs, Source, parse};

fuzz_target!(|text: &str| {
    let env = |name: &str| (name != "UNSET").then(|| "value".to_owned());
    let read = |path: &str| {
        if path.contains("missing") {
            Err("it is missing".to_owned())
        } else {
            Ok(b"user,token\na,b\nc,d\n".to_vec())
        }
    };
    let source = Source { name: "plan.yaml".to_owned(), text: text.to_owned() };
    match parse(&source, &Inputs::new(&env, &read)) {
        Ok(_) => {}
        Err(errors) => assert!(!errors.is_empty()),
    }
});
