use netabase::prelude::*;
use serde::{Deserialize, Serialize};

pub struct Shared(std::rc::Rc<u8>);

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Account { // mistake
    #[netabase(key)]
    id: u64,
    #[serde(skip)]
    shared: Option<std::rc::Rc<u8>>,
}

fn main() {}
