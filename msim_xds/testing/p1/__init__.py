"""A double of P1, the Polish national platform: a real server for its services, as far as they are known.

    with start(directory) as double:
        settings = Settings(p1=double.section())

It proves that both sides agree with each other and with docs/p1.md, and nothing about the real platform.
"""

from msim_xds.testing.p1.server import Double, start

__all__ = ["Double", "start"]
