// Reads declarative pipelines: `java -cp 'lib/*' groovy.ui.GroovyMain Reader.groovy FILE...` prints {FILE: {errors, pipeline}}.
//
// Each file is compiled by the Groovy that Jenkins ships, once plainly and once through Jenkins' CPS transformer. Then its
// syntax tree is read as Jenkins' own parser reads it: sections, directives, conditions, steps and their parameters are
// known by name, and whatever is not known is an error. Jenkins' parser itself lives in plugins that need a Jenkins; this
// reader knows less (no matrix, no input, no libraries, no script block) and accepts nothing that Jenkins refuses.
// Source: the Pipeline Syntax and Pipeline Steps references of jenkins.io.
import com.cloudbees.groovy.cps.CpsTransformer
import groovy.json.JsonOutput
import groovy.transform.Field
import org.codehaus.groovy.ast.expr.*
import org.codehaus.groovy.ast.stmt.*
import org.codehaus.groovy.control.*

// name -> parameters; those that end in ! must be given, and the first may be given without its name.
@Field final Map STEPS = [
    sh              : ['script!', 'returnStatus', 'returnStdout', 'label', 'encoding'],
    echo            : ['message!'],
    error           : ['message!'],
    unstable        : ['message!'],
    junit           : ['testResults!', 'allowEmptyResults', 'keepLongStdio'],
    archiveArtifacts: ['artifacts!', 'allowEmptyArchive', 'fingerprint', 'onlyIfSuccessful', 'excludes'],
    stash           : ['name!', 'includes', 'excludes', 'allowEmpty'],
    unstash         : ['name!'],
    checkout        : ['scm!'],
    deleteDir       : [],
]
@Field final Map BLOCKS = [ // steps around other steps
    withCredentials: ['bindings!'],
    withEnv        : ['overrides!'],
    dir            : ['path!'],
    timeout        : ['time!', 'unit', 'activity'],
    retry          : ['count!'],
    catchError     : ['buildResult', 'stageResult', 'message', 'catchInterruptions'],
]
@Field final Map BINDINGS = [
    string             : ['credentialsId!', 'variable!'],
    file               : ['credentialsId!', 'variable!'],
    gitUsernamePassword: ['credentialsId!', 'gitToolName'],
    usernamePassword   : ['credentialsId!', 'usernameVariable!', 'passwordVariable!'],
]
@Field final Map OPTIONS = [
    buildDiscarder          : ['strategy!'],
    disableConcurrentBuilds : ['abortPrevious'],
    disableResume           : [],
    preserveStashes         : ['buildCount'],
    quietPeriod             : ['quietPeriod!'],
    skipStagesAfterUnstable : [],
    parallelsAlwaysFailFast : [],
    skipDefaultCheckout     : ['skipDefaultCheckout'],
    timeout                 : ['time!', 'unit', 'activity'],
    retry                   : ['count!'],
]
@Field final List STAGE_OPTIONS = ['skipDefaultCheckout', 'timeout', 'retry']
@Field final Map STRATEGIES = [
    logRotator: ['numToKeepStr', 'daysToKeepStr', 'artifactNumToKeepStr', 'artifactDaysToKeepStr'],
]
@Field final Map PARAMETERS = [
    string      : ['name!', 'defaultValue', 'description', 'trim'],
    text        : ['name!', 'defaultValue', 'description', 'trim'],
    booleanParam: ['name!', 'defaultValue', 'description'],
    choice      : ['name!', 'choices!', 'description'],
    password    : ['name!', 'defaultValue', 'description'],
]
@Field final Map TRIGGERS = [cron: ['spec!'], pollSCM: ['spec!'], upstream: ['upstreamProjects!', 'threshold']]
@Field final Map CONDITIONS = [
    branch       : ['pattern!', 'comparator'],
    tag          : ['pattern!', 'comparator'],
    buildingTag  : [],
    changeRequest: [],
    changeset    : ['glob!', 'caseSensitive'],
    environment  : ['name!', 'value!', 'ignoreCase'],
    equals       : ['expected!', 'actual!'],
    triggeredBy  : ['cause!', 'detail'],
    beforeAgent  : ['value!'],
]
@Field final List NESTED = ['not', 'allOf', 'anyOf']
@Field final List POSTS = ['always', 'changed', 'fixed', 'regression', 'aborted', 'failure', 'success', 'unstable',
                           'unsuccessful', 'notBuilt', 'cleanup']
@Field final List PIPELINE = ['agent', 'options', 'parameters', 'triggers', 'environment', 'stages', 'post']
@Field final List STAGE = ['agent', 'options', 'environment', 'when', 'steps', 'stages', 'parallel', 'failFast', 'post']
@Field final List AGENTS = ['any', 'none']
@Field final List UNITS = ['NANOSECONDS', 'MICROSECONDS', 'MILLISECONDS', 'SECONDS', 'MINUTES', 'HOURS', 'DAYS']

@Field List errors = []

void wrong(node, String what) { errors << "line ${node.lineNumber}: ${what}".toString() }

List statements(Statement body) { body instanceof BlockStatement ? body.statements : [body] }

MethodCallExpression callOf(node, String where) {
    def found = node instanceof ExpressionStatement ? node.expression : node
    if (found instanceof MethodCallExpression && found.implicitThis && found.method instanceof ConstantExpression) return found
    wrong(node, "${where}: expected NAME or NAME { }")
    null
}

List argumentsOf(MethodCallExpression call) { call.arguments instanceof TupleExpression ? call.arguments.expressions : [] }

// The statements of the block that ends a call, or null when it has none.
List blockOf(MethodCallExpression call) {
    def last = argumentsOf(call) ? argumentsOf(call).last() : null
    last instanceof ClosureExpression ? statements(last.code) : null
}

// A constant, a list of them, or a call of a symbol such as logRotator(...): what declarative pipelines take as values.
def value(Expression given, Map symbols, String where) {
    switch (given) {
        case ConstantExpression: return given.value
        case GStringExpression:
            if (where == 'environment') return given.text
            wrong(given, "${where}: \${...} inside double quotes; the shell reads \$NAME itself")
            return null
        case ListExpression: return given.expressions.collect { value(it, symbols, where) }
        case MethodCallExpression: return named(given, symbols, where)
        case VariableExpression: if (where == 'checkout' && given.name == 'scm') return 'scm'
    }
    wrong(given, "${where}: ${given.text} is not a constant")
    null
}

// One call of something known by name, as [is: its name] and its parameters.
Map named(MethodCallExpression given, Map known, String where) {
    def name = given.methodAsString
    if (!known.containsKey(name)) { wrong(given, "${where}: unknown ${name}; known are ${known.keySet().join(', ')}"); return [is: name] }
    def parameters = known[name], names = parameters.collect { it - '!' }
    def symbols = name == 'buildDiscarder' ? STRATEGIES : name == 'withCredentials' ? BINDINGS : [:]
    def read = [:]
    def positional = argumentsOf(given).findAll { !(it instanceof ClosureExpression) && !(it instanceof MapExpression) }
    def maps = argumentsOf(given).findAll { it instanceof MapExpression }
    maps.each { map ->
        map.mapEntryExpressions.each { entry ->
            def key = entry.keyExpression.text
            if (!(key in names)) wrong(entry, "${name}: unknown parameter ${key}; known are ${names.join(', ')}")
            read[key] = value(entry.valueExpression, symbols, name)
        }
    }
    if (positional.size() > 1 || (positional && (maps || !names))) wrong(given, "${name}: give parameters by name")
    else if (positional) read[names[0]] = value(positional[0], symbols, name)
    parameters.findAll { it.endsWith('!') && !read.containsKey(it - '!') }.each { wrong(given, "${name}: ${it - '!'} is missing") }
    if (read.unit && !(read.unit in UNITS)) wrong(given, "${name}: unit is one of ${UNITS.join(', ')}")
    [is: name] + read
}

List calls(List body, Map known, String where) {
    def read = body.collect { callOf(it, where) }.findAll().collect { named(it, known, where) }
    if (!body) wrong([lineNumber: '?'], "${where} is empty")
    read
}

List steps(List body) {
    if (!body) wrong([lineNumber: '?'], 'steps is empty')
    body.collect { callOf(it, 'steps') }.findAll().collect { step ->
        def inner = blockOf(step)
        if (!(step.methodAsString in BLOCKS)) {
            if (inner != null) wrong(step, "step: unknown ${step.methodAsString} { }; known are ${BLOCKS.keySet().join(', ')}")
            return named(step, STEPS, 'step')
        }
        if (inner == null) wrong(step, "${step.methodAsString}: a block is missing")
        named(step, BLOCKS, 'step') + [steps: steps(inner ?: [])]
    }
}

def agent(MethodCallExpression given) {
    def block = blockOf(given)
    if (block != null) return calls(block, [label: ['label!']], 'agent')[0]?.label
    def said = argumentsOf(given)
    if (said.size() == 1 && said[0] instanceof VariableExpression && said[0].name in AGENTS) return said[0].name
    wrong(given, "agent: only ${AGENTS.join(', ')} or { label '...' }")
    null
}

Map environment(List body) {
    body.collectEntries { line ->
        def set = line instanceof ExpressionStatement ? line.expression : null
        if (!(set instanceof BinaryExpression && set.operation.text == '=' && set.leftExpression instanceof VariableExpression)) {
            wrong(line, 'environment: expected NAME = VALUE')
            return [:]
        }
        [(set.leftExpression.name): value(set.rightExpression, [credentials: ['id!']], 'environment')]
    }
}

List conditions(List body, String where = 'when') {
    if (!body) wrong([lineNumber: '?'], "${where} is empty")
    body.collect { callOf(it, where) }.findAll().collect { condition ->
        def name = condition.methodAsString
        if (!(name in NESTED)) return named(condition, CONDITIONS, where)
        def inner = conditions(blockOf(condition) ?: [], name)
        if (name == 'not' && inner.size() != 1) wrong(condition, 'not: exactly one condition')
        [is: name, of: inner]
    }
}

Map post(List body) {
    body.collect { callOf(it, 'post') }.findAll().collectEntries { condition ->
        def name = condition.methodAsString
        if (!(name in POSTS)) wrong(condition, "post: unknown ${name}; known are ${POSTS.join(', ')}")
        [(name): steps(blockOf(condition) ?: [])]
    }
}

List stages(List body, boolean inside = false) {
    if (!body) wrong([lineNumber: '?'], 'stages is empty')
    def read = body.collect { callOf(it, 'stages') }.findAll().collect { stage(it, inside) }
    read.countBy { it.name }.findAll { it.value > 1 }.each { wrong(body[0], "two stages are called ${it.key}") }
    read
}

Map stage(MethodCallExpression given, boolean inside) {
    def said = argumentsOf(given)
    if (given.methodAsString != 'stage' || said.size() != 2 || !(said[0] instanceof ConstantExpression) || blockOf(given) == null) {
        wrong(given, "expected stage('NAME') { }")
        return [name: given.methodAsString]
    }
    def read = [name: said[0].value] + sections(blockOf(given), STAGE, "stage ${said[0].value}")
    def work = read.keySet().intersect(['steps', 'stages', 'parallel'])
    if (work.size() != 1) wrong(given, "stage ${read.name}: exactly one of steps, stages, parallel")
    if (read.parallel && read.agent) wrong(given, "stage ${read.name}: no agent around parallel stages")
    if (read.parallel && inside) wrong(given, "stage ${read.name}: parallel inside parallel")
    if (read.failFast && !read.parallel) wrong(given, "stage ${read.name}: failFast is for parallel stages")
    read
}

Map sections(List body, List known, String where) {
    def read = [:]
    body.collect { callOf(it, where) }.findAll().each { section ->
        def name = section.methodAsString, block = blockOf(section)
        if (!(name in known)) { wrong(section, "${where}: unknown section ${name}; known are ${known.join(', ')}"); return }
        if (read.containsKey(name)) wrong(section, "${where}: ${name} twice")
        if (block == null && !(name in ['agent', 'failFast'])) { wrong(section, "${where}: ${name} needs a block"); return }
        switch (name) {
            case 'agent': read.agent = agent(section); break
            case 'failFast': read.failFast = value(argumentsOf(section)[0], [:], 'failFast'); break
            case 'options': read.options = calls(block, where == 'pipeline' ? OPTIONS : OPTIONS.subMap(STAGE_OPTIONS), 'options'); break
            case 'parameters': read.parameters = calls(block, PARAMETERS, 'parameters'); break
            case 'triggers': read.triggers = calls(block, TRIGGERS, 'triggers'); break
            case 'environment': read.environment = environment(block); break
            case 'when': read.when = conditions(block); break
            case 'steps': read.steps = steps(block); break
            case 'stages': read.stages = stages(block); break
            case 'parallel': read.parallel = stages(block, true); break
            case 'post': read.post = post(block); break
        }
    }
    read
}

Map pipeline(List body) {
    if (body.size() != 1) { errors << 'expected pipeline { } and nothing beside it'; return [:] }
    def top = callOf(body[0], 'the file')
    if (top?.methodAsString != 'pipeline' || blockOf(top) == null) { errors << 'expected pipeline { }'; return [:] }
    def read = sections(blockOf(top), PIPELINE, 'pipeline')
    ['agent', 'stages'].findAll { !read.containsKey(it) }.each { wrong(top, "pipeline: ${it} is missing") }
    read
}

// Compiles to the given phase; the tree is that of the last phase.
CompilationUnit compiled(File file, int phase, CompilerConfiguration how) {
    def unit = new CompilationUnit(how)
    unit.addSource(file.name, file.getText('UTF-8'))
    unit.compile(phase)
    unit
}

print JsonOutput.toJson(args.collectEntries { path ->
    errors.clear()
    def read = [:]
    try {
        read = pipeline(compiled(new File(path), Phases.CONVERSION, new CompilerConfiguration()).AST.modules[0].statementBlock.statements)
        def resumable = new CompilerConfiguration()
        resumable.addCompilationCustomizers(new CpsTransformer())
        [new CompilerConfiguration(), resumable].each { compiled(new File(path), Phases.CLASS_GENERATION, it) }
    } catch (CompilationFailedException broken) {
        errors << broken.message
    }
    [(path): [errors: errors.collect(), pipeline: read]]
})
