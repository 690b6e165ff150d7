"""The design that virtual swap was to replace: Linux 6.19, its base, whose page tables hold physical slots."""
