//! Peers and their sessions around one RIB.
