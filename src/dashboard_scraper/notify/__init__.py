"""Messages to people when a run fails or figures are in doubt, and pings to a heartbeat monitor.

facts      what the store says after a run
occasions  what somebody should know of these facts
compared   which of that is new, worse, due again, or over
messages   in words, without names of people
sending    through Apprise
heartbeat  pings of start, success and failure
"""
