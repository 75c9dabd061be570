"""The report: figures of the store as one HTML page that needs no network.

`gather` reads the store, `figures` counts, `page` says what stands where, `render` fills the
template. All but `options` take a while to import, for the templates; who writes no page does not.
"""
