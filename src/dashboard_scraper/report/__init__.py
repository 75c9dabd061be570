"""The report: figures of the store as one HTML page that works offline.

`gather` reads the store, `figures` counts, `page` lays out the sections, `render` fills the
template. Import `render` only where a page is written: the template engine takes long to import.
"""
