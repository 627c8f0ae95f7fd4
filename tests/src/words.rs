//! What a test and its node processes say to each other, a line each.
//!
//! | to the node | from the node |
//! | --- | --- |
//! | – | `started`, or `failed <why>` and its end |
//! | `write <first id> <callers>` | `ack <id>` for every acknowledged write, until `pause` |
//! | `pause` | `paused` |
//! | `hash` | `hash <round>:<hex>` |
//! | `leader` | `leader <peer id or ->` |
//! | `check <file of ids>` | `missing <how many>` |
//! | `put <id>` | `put ok` or `put <error>` |
//! | `fill <first id> <how many> <bytes of text>` | `fill ok` or `fill <error>` |
//! | `records` | `records <what `status()` says of them>` |
//! | `counted <bytes>` | `counted <how many notes have such a text; all in version 1>` |
//! | `applied` | `applied <the last round applied here>` |
//! | `refused` | `refused <how many, by reason>` |
//! | `invite`, `invite-client`, `members`, `remove <peer id>`, `changes`, `stop` | see `node.rs` |

/// The first word of a line and the rest.
#[must_use]
pub fn split(line: &str) -> (&str, &str) {
    line.split_once(' ').unwrap_or((line, ""))
}
