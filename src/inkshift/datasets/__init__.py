"""Where labelled pictures come from: `catalog` names and fetches sets, `tasks` says what their classes are.

`labels` is what is written on forms; `overlap` finds test pictures among training ones.
"""
