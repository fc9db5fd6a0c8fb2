"""Runs over several machines: blow against revoke, pool sizes, migrations down every road."""
