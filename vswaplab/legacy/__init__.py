"""The design that virtual swap replaces: Linux 6.19, whose page tables hold physical slots."""
