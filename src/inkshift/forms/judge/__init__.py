"""How good readings are: with labels (`evaluate`), with a promise (`guarantee`), without labels (`shift`, `drift`), and
which labels are wrong (`audit`).
"""
