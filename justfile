# The Makefile's targets for those who have just; the Makefile stays the one place that says how.

export ARGS := env_var_or_default("ARGS", "")

help:
    @make help

setup:
    @make setup

demo:
    @make demo

test:
    @make test

campaign:
    @make campaign

live:
    @make live

components:
    @make components

lint:
    @make lint

types:
    @make types

contracts:
    @make contracts

docs:
    @make docs

check:
    @make check

lock:
    @make lock

clean:
    @make clean
