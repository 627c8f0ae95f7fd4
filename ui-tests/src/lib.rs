//! What the derive accepts (`pass/`) and how it answers mistakes (`fail/`), as a user's crate sees it.
