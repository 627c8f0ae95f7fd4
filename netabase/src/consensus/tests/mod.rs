//! Consensus tested over whole nodes and real sockets.

mod hostile;
