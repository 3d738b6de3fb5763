//! Pipelines over the features: curate, resume, report.
