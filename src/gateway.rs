//! Wires everything; owns the clock, the tick and the order of shutdown.
