"""The source of a plugin of a few lines: a stage, a check and a gate."""

GOOD = '''
"""Choose the frames taken in the dark."""
import tracecore as tc


class NightFrames(tc.Stage):
    """Keep dark frames."""

    kind = tc.StageKind.CURATE
    frames = tc.Input("dataset")
    night = tc.Output("dataset")

    def run(self, context, params):
        context.write(self.night, context.read(self.frames).to_table())


class Dark(tc.Check):
    name = "dark"

    def run(self, context):
        return tc.CheckResult(True, "dark")


class Approved(tc.Gate):
    """Somebody signed [/m] it."""

    name = "approved"

    def evaluate(self, evidence, requirement):
        return tc.GateResult(True, None, None, "yes")


@tc.hookimpl
def tracecore_register_stages():
    return [NightFrames]


@tc.hookimpl
def tracecore_register_checks():
    return [Dark()]


@tc.hookimpl
def tracecore_register_gates():
    return [Approved()]
'''
