//! Every case with hyper's client.

const CLIENT: plimsoll_driver::Http1 = plimsoll_driver::Http1::Hyper;

#[path = "../answers.rs"]
mod answers;
#[path = "../flows.rs"]
mod flows;
#[path = "../loads.rs"]
mod loads;
#[path = "../measures.rs"]
mod measures;
#[path = "../real.rs"]
mod real;
#[path = "../sends.rs"]
mod sends;
#[path = "../simulated.rs"]
mod simulated;
#[path = "../singles.rs"]
mod singles;
#[path = "../steering.rs"]
mod steering;
