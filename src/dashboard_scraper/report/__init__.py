"""The report: figures of the store as one HTML page that works offline.

`gather` reads the store, `figures` counts, `page` lays out the sections, `render` fills the
template. Import `render` only to write a page: the template engine takes long to import.
"""
