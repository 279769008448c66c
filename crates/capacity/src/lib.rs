//! Where a service's limit lies: models of throughput against load.
