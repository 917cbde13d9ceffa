//! The functional core: BGP and VPN instances as one state machine, without input and output.
