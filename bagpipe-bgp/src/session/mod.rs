//! One BGP connection (RFC 4271 §8).
