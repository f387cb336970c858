
a.>latest 