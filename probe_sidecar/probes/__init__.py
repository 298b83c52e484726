"""One probe: connection, protocol and evaluation. No other package connects to the addresses. Knows no CR and no
threshold.
"""
