mod latency;
mod policies;
mod reference;
mod selectors;
mod services;
