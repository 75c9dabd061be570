"""A run as a trace, and the figures of its days as metrics, sent to an OpenTelemetry collector.

switch     whether anything is sent, before the SDK is imported
measures   what is sent as metrics, read from the store
sending    sends both with the SDK, within a bounded time
wording    what a span may say
"""
