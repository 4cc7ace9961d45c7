"""The reference pages say everything, commands inside commands too."""

from pipelines.reference import commands_page


def test_commands_of_a_group_have_a_section_each_and_the_group_has_none() -> None:
    page = commands_page()
    for name in ("run", "status", "start", "pause", "resume", "abort"):
        assert f"\n## everloop rollout {name}\n" in page
    assert "\n## everloop rollout\n" not in page
    assert "`--stop-predictors`" in page
    assert "\n## everloop serve\n" in page
