"""The monitor: reads the logs, says what drifts, how people click and what is shown, and never takes anything down.

>>> watch = Watch(Home(".everloop"), Settings())
>>> watch.look(clock.now())["drift_sentence"]
'nothing drifts among 14 features'
"""
