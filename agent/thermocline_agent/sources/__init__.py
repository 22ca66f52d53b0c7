"""Where heat comes from: one module a source, all behind source.Source."""
