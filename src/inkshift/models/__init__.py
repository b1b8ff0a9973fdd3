"""Models that are reused: `package` is one on disk, `runtime` runs it, `ctc` and `weigh` make numbers of what it says;
`imported` takes in those that others trained, `pp_ocr` is a second reader. How they are made is in `train`.
"""
