"""Where labelled pictures come from: `catalog` names and fetches sets, `tasks` says what their classes are.

`labels` and `numbers` are what is written on forms; `overlap` finds test pictures among training ones.
"""
