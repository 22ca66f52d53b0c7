"""What moves pages: one module an engine, all behind engine.Engine."""
