"""The only place that knows concrete classes: puts a project's parts together and drives runs."""
