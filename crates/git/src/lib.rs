//! Commits, trees and blobs of a repository; scrubbed one-commit repositories.
