*]aA
1/stB
zoneeuB
againB
priority	J{"a":1}Ra2
text/plainJx
y 