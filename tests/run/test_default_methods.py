"""Which methods a run shows where none is asked for."""

from dataclasses import replace

from ctxai.run.run import Run

from runs import untrained_run


def test_a_run_that_stays_on_the_mark_shows_cdam():
    assert untrained_run().default_methods == ("cdam",)


def test_the_run_of_the_package_shows_the_most_reliable_method_first():
    assert Run.load().default_methods == ("path_gradients", "cdam")


def test_a_run_that_finds_the_middle_of_the_nodule_shows_path_gradients_too():
    run = untrained_run()
    run.config = replace(run.config, views=replace(run.views, recentre_mm=4.0))
    assert run.default_methods == ("path_gradients", "cdam")
