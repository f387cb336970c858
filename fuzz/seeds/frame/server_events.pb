"gc
1/stB
zoneeuB
againB
priority	J{"a":1}RaZ100000000000112b100000000000111