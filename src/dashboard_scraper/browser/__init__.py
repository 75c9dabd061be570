"""An installed Chrome, Edge or Chromium: finding it, starting it, and asking it for cookies."""
