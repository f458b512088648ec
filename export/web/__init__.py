"""Model files for the browser: a JavaScript module, and a page that steps the model."""
