use netabase::prelude::*;

#[derive(Clone, Copy, NetabaseSchema)]
pub union Either { // mistake
    a: u8,
    b: i8,
}

fn main() {
    let _ = Either::range(1..2);
}
