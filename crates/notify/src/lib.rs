//! Tells people what has happened: an SLA is broken or kept again, a run failed or went well, something became worse.
