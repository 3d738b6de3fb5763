//! Python source with tree-sitter: entities, and what a change touches.
