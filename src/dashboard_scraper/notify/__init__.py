"""Messages to people when a run fails or figures are in doubt, and pings to a heartbeat monitor.

facts      what the store says after a run
occasions  which of these facts somebody should know
compared   which of those are new, worse, due again, or over
messages   the texts, without names of people
sending    through Apprise
heartbeat  pings of start, success and failure
"""
