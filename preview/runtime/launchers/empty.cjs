// The module of a name under which a project has only types; see sources.cjs.
'use strict';
